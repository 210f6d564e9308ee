"""A stand-in for a dictionary where a model is built without one: to count, to measure, to convert."""


class Symbols:
    """What a model asks of a dictionary: how many symbols, which is padding (fairseq's 1).

    >>> len(Symbols(50)), Symbols(50).pad()
    (50, 1)
    """

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def pad(self):
        return 1
