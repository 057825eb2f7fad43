"""The page of errors and warnings has every message of the source, and none that is not there."""

from __future__ import annotations

import re

from tests.docs.messages import PAGE, Message, beginnings, is_begun_by, messages, messages_in, unsaid

# the headings of arguments: a class of messages, in which the argument's name, its value and the rule differ
ARGUMENTS = beginnings()[:9]
# what a user does not meet: a mistake of the library's own, caught where a kernel's addresses are checked
OWN = ("methods/short_time/kernel/", "data/shared/shared_file.py")
# where every message is on the page; elsewhere those that are no ValueError or TypeError of an argument
WHOLE = ("data/", "feed/", "loading/", "sampling/")


def is_on_the_page(message: Message) -> bool:
    """Whether the page must have it."""
    if message.path.startswith(OWN) and message.kind != "warning":
        return False
    if message.kind in ("AssertionError", "AttributeError", "KeyError"):
        return False
    if message.kind in ("ValueError", "TypeError") and not message.path.startswith(WHOLE):
        return " must " in message.text
    return re.search("[a-z ]{12}", message.text) is not None  # or its words are made elsewhere


def test_every_message_is_begun_by_a_heading_of_the_page():
    assert len(messages()) > 600
    missing = [f"{one.path}:{one.line} {one.kind}: {one.text}" for one in unsaid() if is_on_the_page(one)]
    assert missing == [], "give docs/faq.md an entry that begins so (python -m tests.docs.messages lists them)"


def test_each_heading_begins_a_message_of_the_source():
    for beginning in beginnings():
        begun = sum(is_begun_by(message, beginning) for message in messages())
        assert begun, f"the source has no message that begins so: {beginning}"
        assert beginning in ARGUMENTS or begun <= 30, f"a heading that begins so many says nothing of them: {beginning}"


def test_every_entry_says_what_to_do():
    entries = PAGE.read_text().split("\n### ")[1:]
    assert len(entries) > 70
    assert [entry.splitlines()[0] for entry in entries if "**Do:**" not in entry] == []


def test_messages_are_found_whatever_raises_them(tmp_path, monkeypatch):
    monkeypatch.setattr("tests.docs.messages.ROOT", tmp_path)
    path = tmp_path / "audiofeed" / "a.py"
    path.parent.mkdir()
    path.write_text(
        'raise AudioReadError.of(path, f"no {x} there", 3) from error\nwarnings.warn("one " + "two", stacklevel=2)\n'
        'raise ValueError(\n    f"x={x!r} "\n    "is long")\nraise error\nwarn_caller(f"three {x}")\n'
    )
    assert {(one.kind, one.text) for one in messages_in(path)} == {
        ("AudioReadError", "no … there"), ("ValueError", "x=… is long"), ("warning", "one two"), ("warning", "three …"),
    }  # fmt: skip
    assert is_begun_by(Message("a", 1, "warning", "x=… is long"), "x=... is")
    assert not is_begun_by(Message("a", 1, "warning", "x=… is long"), "y=... is")
