"""Shared by the stages that train: what a training loop needs whichever model it trains. Not a stage.

Here may live helpers on plain torch that know no stage, no request and no model of ours: the loop with its checkpoint, the ranks of a
training that is spread over several devices, and parts of a model that must not depend on their number. Import the module, not the package
(``from tasks.training.distributed import joined``): a stage's content key then hangs on the modules it uses and on no others.
"""
