"""What stages that score encoders on labelled clips share: targets, folds, scores. Not a stage itself."""
