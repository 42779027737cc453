"""The nouns: frozen values that every floor shares. numpy and the standard library only."""
