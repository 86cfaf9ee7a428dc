"""Says how synthesised sounds differ from recorded ones, and how far twins lie apart."""
