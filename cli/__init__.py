"""The command line behind run.sh. It plans, prepares and reports; the work is done by flows and stages."""
