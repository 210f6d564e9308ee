"""Every token's log-probability, and whether it was the likeliest: what other harnesses ask for."""

import torch

from fairseq_metro.modules.heads import select_rows
from fairseq_metro.scoring.batches import token_batches
from fairseq_metro.scoring.choices import MAX_TOKENS, ROWS, evaluating


def score_tokens(model, inputs, targets, *, pad, decoder_start, max_tokens=MAX_TOKENS):
    """For each input a list with (log p (S_ij,) float32, likeliest (S_ij,) bool) of each target.

    inputs: N sources (T_i,) int64; targets: for each input its list of targets (S_ij,) int64, none of
    them empty. Every input is encoded once. The rest is as for
    :func:`~fairseq_metro.scoring.score_choices`, whose scores are the sums of these numbers.
    """
    shapes = [
        (len(each), len(source), max(map(len, each)))
        for source, each in zip(inputs, targets, strict=True)
    ]
    found = [None] * len(inputs)
    with evaluating(model), torch.no_grad():
        for batch in token_batches(shapes, max_tokens):
            rows = _score_batch(
                model, [inputs[i] for i in batch], [targets[i] for i in batch], pad, decoder_start
            )
            for i, each in zip(batch, rows, strict=True):
                found[i] = each
    return found


def _score_batch(model, sources, targets, pad, decoder_start):
    device = next(model.parameters()).device
    most, longest = max(map(len, targets)), max(len(t) for each in targets for t in each)
    tokens = torch.full((len(sources), most, longest), pad)
    real = torch.zeros_like(tokens, dtype=torch.bool)
    for b, each in enumerate(targets):
        for c, target in enumerate(each):
            tokens[b, c, : len(target)], real[b, c, : len(target)] = target, True
    prev = torch.full_like(tokens, decoder_start)
    prev[..., 1:] = tokens[..., :-1]
    src_tokens = torch.nn.utils.rnn.pad_sequence(sources, batch_first=True, padding_value=pad)
    lengths = torch.tensor([len(source) for source in sources], device=device)
    index = real.flatten().nonzero().squeeze(1)

    encoder_out = model.encoder(src_tokens.to(device), src_lengths=lengths)
    features = model.decoder.extract_features(prev.flatten(0, 1).to(device), encoder_out)
    log_p = torch.zeros(tokens.shape)
    likeliest = torch.zeros_like(real)
    for part in index.split(ROWS):
        log_probs = model.decoder.output_layer(select_rows(features, part.to(device)))
        log_probs = log_probs.float().log_softmax(-1).cpu()
        chosen = tokens.flatten()[part]
        log_p.view(-1)[part] = log_probs.gather(1, chosen.unsqueeze(1)).squeeze(1)
        likeliest.view(-1)[part] = log_probs.argmax(-1) == chosen
    return [
        [(log_p[b, c, : len(t)], likeliest[b, c, : len(t)]) for c, t in enumerate(each)]
        for b, each in enumerate(targets)
    ]
