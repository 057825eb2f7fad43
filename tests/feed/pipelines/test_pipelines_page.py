"""What the page on pipelines shows works as shown."""

from tests.pages import named_examples, run_page


def test_the_python_of_the_page_runs():
    run_page("pipelines.md", blocks=5)


def test_the_examples_that_it_names_exist():
    named = named_examples("pipelines.md")
    assert len(named) == 2
    assert all(path.exists() for path in named)
