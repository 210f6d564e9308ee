"""A loss of several parts: their sum, which carries the parts for debugging."""


def sum_of_parts(**parts):
    """The sum () of a loss's parts in the order given: each (), its weight already in it.

    The parts travel with the sum, graphs and all, until :func:`parts_of` reads them.

    >>> import torch
    >>> loss = sum_of_parts(mlm_loss=torch.tensor(1.5), rtd_loss=torch.tensor(2.0))
    >>> loss, parts_of(loss)
    (tensor(3.5000), {'mlm_loss': tensor(1.5000), 'rtd_loss': tensor(2.)})
    """
    loss = sum(parts.values())
    loss.parts = parts
    return loss


def parts_of(loss):
    """The parts of a loss by name; the loss itself where it was not summed from parts.

    >>> import torch
    >>> parts_of(torch.tensor(0.5))
    {'loss': tensor(0.5000)}
    """
    return getattr(loss, "parts", {"loss": loss})
