"""One file for each provider of models; `chains.models` lists them."""
