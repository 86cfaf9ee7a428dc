"""What searches by many short trainings share: who proposes a trial, who ends one early, and the table of all of them."""
