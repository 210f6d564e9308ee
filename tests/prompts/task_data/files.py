"""Small files of task data for tests."""

import json


def write(path, content, encoding="utf-8"):
    """A file with its folders; content: str, bytes, or a list of rows for jsonl."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, list):
        content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in content)
    path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    return path
