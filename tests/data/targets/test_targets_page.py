"""What the page on targets shows works as shown."""

from tests.pages import named_examples, run_page


def test_the_python_of_the_page_runs(write_pcm, tmp_path, monkeypatch):
    for name in "abc":
        write_pcm(f"recordings/{name}.wav", 16000, rate=16000)
    monkeypatch.chdir(tmp_path)
    run_page("targets.md", blocks=5)


def test_the_examples_that_it_names_exist():
    named = named_examples("targets.md")
    assert len(named) == 3
    assert all(path.exists() for path in named)
