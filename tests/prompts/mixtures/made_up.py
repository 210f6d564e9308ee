"""Templates and mixtures of no real data set, for tests."""

from fairseq_metro.prompts import Template, Templates


def template(dataset, name, jinja="{{ text }} ||| {{ label }}", **kwargs):
    """A template with little to say."""
    return Template(dataset, name, jinja, **kwargs)


def templates(**by_dataset):
    """Templates of data sets: a list of names each; those that end in ``!`` are no original task."""
    made = {
        dataset: [
            template(dataset, name.rstrip("!"), original_task="!" not in name) for name in names
        ]
        for dataset, names in by_dataset.items()
    }
    return Templates({dataset: lambda found=found: found for dataset, found in made.items()})


def write(folder, text, name="mine.yaml"):
    """A mixture's file with the two keys that every one needs, and ``text``: its path."""
    path = folder / name
    path.write_text(f"version: 1\nname: {path.stem}\n{text}", encoding="utf-8")
    return path
