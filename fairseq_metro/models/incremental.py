"""What fairseq's generator asks of an encoder and a decoder in beam search."""


class ReorderedStates:
    """For an encoder whose output is a dict of lists of tensors, batch first."""

    def reorder_encoder_out(self, encoder_out, new_order):
        return {
            key: [tensor.index_select(0, new_order) for tensor in tensors]
            for key, tensors in encoder_out.items()
        }


class LayerCaches:
    """For a decoder with ``layers``, each of which keeps keys and values of earlier positions.

    They lie in fairseq's incremental state under the decoder's own name: a list, for each layer
    ``{"self": {...}, "cross": {...}}``.
    """

    @property
    def _cache_key(self):
        return f"{type(self).__name__}.layers"

    def caches_of(self, incremental_state):
        """(the layers' caches, how many positions are in them); (None, 0) without a state."""
        if incremental_state is None:
            return None, 0
        caches = incremental_state.setdefault(
            self._cache_key, [{"self": {}, "cross": {}} for _ in self.layers]
        )
        own = caches[0]["self"]
        return caches, own["key"].size(2) if "key" in own else 0

    def reorder_incremental_state(self, incremental_state, new_order):
        for caches in incremental_state.get(self._cache_key, []):
            for cache in caches.values():
                for name, tensor in cache.items():
                    cache[name] = tensor.index_select(0, new_order)
