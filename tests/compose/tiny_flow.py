"""A flow as small as can be that a deployment runs: one task, whose run the server must have recorded."""

from prefect import flow, task


@task
def double(number: int) -> int:
    """Return twice the number."""
    return 2 * number


@flow(name="tiny")
def tiny(number: int = 21) -> int:
    """Double a number in a task, and fail when that is not what came out."""
    doubled = double(number)
    if doubled != 2 * number:
        raise ValueError(f"double({number}) gave {doubled}")
    return doubled
