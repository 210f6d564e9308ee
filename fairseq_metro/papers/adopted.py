"""Results of the earlier experiments in the form of a reproduction's rows."""

import json

# Fine-tunings of targets.yaml by mixture, updates and tokens of an update.
NAMES = {("real-sentences", 3000, 4096): "sentences"}


def _rows(path):
    text = path.read_text("utf-8") if path.exists() else ""
    return [json.loads(line) for line in text.splitlines() if line]


def adopted_rows(folder):
    """Rows made of ``pretraining.jsonl``, ``prompt_finetuning.jsonl``, ``reproduction_spans.jsonl``."""
    adopted = []
    for row in _rows(folder / "pretraining.jsonl"):
        if row["arch"] in ("tiny", "small"):
            adopted.append(_row("pretrain", row, row["variant"], row["arch"], row["updates"]))
    for row in _rows(folder / "prompt_finetuning.jsonl"):
        name = NAMES.get((row["mixture"], row["updates"], row["max_tokens"]))
        if name and row["updates"] == row["updates_planned"]:
            arch = row["arch"].removeprefix("t5_transformer_")
            adopted.append(
                _row("finetune", row, row["model"], arch, row["pretraining_updates"], name)
            )
    spans = {}
    for row in _rows(folder / "reproduction_spans.jsonl"):
        spans.setdefault((row["model"], row["updates"], row["seed"]), []).append(row)
    for (model, updates, _), patterns in spans.items():
        adopted.append(_row("spans", {"patterns": patterns, "seed": patterns[0]["seed"]}, model,
                            "small", updates))  # fmt: skip
    return adopted


def _row(kind, result, variant, arch, updates, finetuning=None):
    fields = {"variant": variant, "arch": arch, "updates": updates, "seed": result["seed"]}
    key = f"{kind} {arch}-{variant}-{updates}-{result['seed']}"
    if finetuning:
        key, fields["finetuning"] = f"{key} {finetuning}", finetuning
    return {"key": key, "kind": kind, "scale": "cpu", **fields, "result": result}
