"""The documents: Python's own help topics, as every installation carries them in `pydoc_data.topics`."""

import re
from functools import cache
from typing import NamedTuple

# The topics that Python 3.11 to 3.14 share. `else` is left out: its text is that of `if`, word for word.
TOPICS = tuple(
    """
    assert assignment async atom-identifiers atom-literals attribute-access attribute-references augassign await
    binary bitwise bltin-code-objects bltin-ellipsis-object bltin-null-object bltin-type-objects booleans break
    callable-types calls class comparisons compound context-managers continue conversions customization debugger
    del dict dynamic-features exceptions execmodel exprlists floating for formatstrings function global id-classes
    identifiers if imaginary import in integers lambda lists naming nonlocal numbers numeric-types objects
    operator-summary pass power raise return sequence-types shifting slicings specialattrs specialnames
    string-methods strings subscriptions truth try types typesfunctions typesmapping typesmethods typesmodules
    typesseq typesseq-mutable unary while with yield
    """.split()
)

# A heading is a line with a line of one punctuation mark under it. The search starts at the rarer line, the lower one.
UNDERLINE = re.compile(r"\n([*=\-~^\"])\1{2,}\n")


class Topic(NamedTuple):
    """One help topic: its title, the headings under it, and the text without the title."""

    name: str
    title: str
    headings: tuple[str, ...]
    text: str

    def paragraphs(self) -> list[str]:
        """The text in blocks between blank lines, headings left out, white space as one space."""
        blocks = self.text.split("\n\n")
        return [" ".join(block.split()) for block in blocks if block.strip() and not UNDERLINE.search(block + "\n")]


def read_topic(name: str, source: str) -> Topic:
    """The topic in `source`, the plain text that `help(name)` shows."""
    lines = [source[source.rfind("\n", 0, under.start()) + 1 : under.start()] for under in UNDERLINE.finditer(source)]
    titles = [" ".join(line.replace('"', "").split()) for line in lines if line]
    text = source.partition("\n\n")[2].strip("\n") if titles else source
    return Topic(name, titles[0] if titles else name, tuple(titles[1:]), text)


@cache
def sources() -> dict[str, str]:
    """The raw text by topic name. A topic that this Python no longer has is left out."""
    from pydoc_data.topics import topics

    return {name: topics[name] for name in TOPICS if name in topics}


@cache
def load(name: str) -> Topic:
    """The topic of this name; KeyError when there is none."""
    return read_topic(name, sources()[name])
