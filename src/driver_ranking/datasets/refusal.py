"""How rows that can't be used are refused, wherever it is found out."""

from driver_ranking.errors import RequestError


def refusal(filepath: str, fault: str) -> RequestError:
    """Return the error of a file of entity rows that can't be used.

    Args:
        filepath: Where it is, as the user wrote it.
        fault: What is wrong with it, in whole sentences.
    """
    return RequestError(f"{filepath}: {fault} Nothing was written.")
