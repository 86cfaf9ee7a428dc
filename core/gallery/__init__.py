"""Static pages to look at and listen to: templates, spectrograms, charts. They open from a file, without a server and without a network."""
