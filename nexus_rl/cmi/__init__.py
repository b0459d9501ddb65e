"""Cross-modality inference, measured: how well missing modalities are imagined."""
