"""Text of the parameters that the report prints, or that a command line is given."""


def is_printable_line(text: str, longest: int = 60) -> bool:
    """Whether a text is one line that can be printed, not empty, without white space around it.

    Args:
        text: anything.
        longest: characters that it may have.
    """
    return 1 <= len(text) <= longest and text.isprintable() and text == text.strip()
