"""What the processes of a group have cost."""

from pathlib import Path


def cpu_time(leader: int) -> float:
    """Seconds that the processes of a group have spent on a processor so far, those that are still there."""
    spent = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            group = int(stat.read_text().rpartition(")")[2].split()[2])
            if group == leader:
                for task in stat.parent.glob("task/*/schedstat"):
                    spent += int(task.read_text().split()[0])
        except (FileNotFoundError, ProcessLookupError):
            continue
    return spent / 1e9
