"""The rivals of ``benchmarks/distill.py``: Hugging Face's models of the same weights, plain loops."""

import json

import torch
import torch.nn.functional as F
from transformers import RobertaForMaskedLM

PAD = 1


def load(folder):
    """A model with dropout as its configuration has it."""
    return RobertaForMaskedLM.from_pretrained(folder)


def padded(rows):
    """Lists of ids -> (B, T) ids and their attention mask."""
    ids = torch.nn.utils.rnn.pad_sequence(list(map(torch.tensor, rows)), True, PAD)
    return ids, ids.ne(PAD).long()


def distillation_step(student, teacher, optimizer, rows, places):
    """One update against the online teacher's full distribution at the mask; the loss."""
    ids, mask = padded(rows)
    at = torch.arange(len(rows)), torch.tensor(places)
    with torch.no_grad():
        target = teacher(input_ids=ids, attention_mask=mask).logits[at].softmax(-1)
    logits = student(input_ids=ids, attention_mask=mask).logits[at]
    loss = -(target * F.log_softmax(logits, -1)).sum(-1).mean()
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(student.parameters(), 2.0)
    optimizer.step()
    return loss.item()


def accuracy(model, rows, places, labels, words, size=64):
    """Share of right label words, in the file's order."""
    model.eval()
    right = 0
    with torch.no_grad():
        for start in range(0, len(rows), size):
            ids, mask = padded(rows[start : start + size])
            at = torch.arange(len(ids)), torch.tensor(places[start : start + size])
            logits = model(input_ids=ids, attention_mask=mask).logits[at][:, words]
            right += int(logits.argmax(-1).eq(torch.tensor(labels[start : start + size])).sum())
    return right / len(rows)


def fewshot(job):
    """Prompt fine-tuning with looks at dev, the best on the test: its accuracy."""
    torch.manual_seed(job["seed"])
    model, words = load(job["model"]), job["words"]
    optimizer = torch.optim.AdamW(model.parameters(), lr=job["lr"], weight_decay=0)
    rows, places, labels = job["train"]
    best, kept, order = -1.0, None, []
    for step in range(job["steps"]):
        model.train()
        if len(order) < job["batch"]:
            order = torch.randperm(len(rows)).tolist()
        chosen, order = order[: job["batch"]], order[job["batch"] :]
        ids, mask = padded([rows[i] for i in chosen])
        at = torch.arange(len(chosen)), torch.tensor([places[i] for i in chosen])
        logits = model(input_ids=ids, attention_mask=mask).logits[at][:, words]
        loss = F.cross_entropy(logits, torch.tensor([labels[i] for i in chosen]))
        optimizer.param_groups[0]["lr"] = job["lr"] * (1 - step / job["steps"])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if (step + 1) % job["every"] == 0:
            found = accuracy(model, *job["dev"], words)
            if found > best:
                best = found
                kept = {name: value.clone() for name, value in model.state_dict().items()}
    model.load_state_dict(kept)
    return accuracy(model, *job["test"], words)


def main(path):
    """One few-shot run, as a process of its own does it: ``path`` holds its settings and ids."""
    torch.set_num_threads(1)
    with open(path, encoding="utf-8") as stream:
        print(f"accuracy {fewshot(json.load(stream)):.4f}")
