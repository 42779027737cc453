"""The table of the U-Net paper, trained by the project's own verb."""
