"""The project beside its peers, measured in one interleaved run; `papernets bench` calls these."""
