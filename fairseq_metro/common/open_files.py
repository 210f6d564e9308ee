"""Limit of open files: a mixture has hundreds of tasks with several memory-mapped files each."""

import resource

WANTED = 65536


def allow_open_files(limit=WANTED):
    """Raise this process's limit of open files to ``limit``, or as near as the system lets it.

    Python keeps a file open for each memory map; T0++'s 464 tasks need some 3,000, while shells
    commonly start with a limit of 1,024. Returns the limit now in force.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    target = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    if soft != resource.RLIM_INFINITY and soft < target:
        resource.setrlimit(resource.RLIMIT_NOFILE, (target, hard))
        soft = target
    return soft
