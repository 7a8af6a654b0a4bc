"""Configuration of Envoy, generated from the router's own settings. Pure."""
