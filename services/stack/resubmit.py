"""`python -m services.stack.resubmit NAME`: submits a wanted job again from its newest checkpoint. Run by the supervisor."""

from __future__ import annotations

import sys

from services.stack.errors import StackError
from services.stack.paths import Layout, default_home
from services.stack.submit import submit
from services.stack.wanted import wanted_jobs


def main() -> int:
    """Exit code 0 when the JobManager accepted the job."""
    layout, name = Layout(default_home()), sys.argv[1]
    job = wanted_jobs(layout).get(name)
    if job is None:
        print(f"{name} is not wanted any more")
        return 0
    try:
        submitted = submit(layout, job.name, job.module, job.args, parallelism=job.parallelism, only_if_missing=True)
    except StackError as error:
        print(error)
        return 1
    print(
        f"runs as {submitted.job_id} "
        + (f"from {submitted.restored_from}" if submitted.restored_from else "without state: it has no checkpoint")
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
