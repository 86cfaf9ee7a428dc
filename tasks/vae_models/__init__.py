"""The variational autoencoders of SynTone: the network, and the objectives of six methods. Shared by stages; not a stage itself.

Import what a stage needs from the module that holds it (``from tasks.vae_models.network import VAEDeep, load``).
"""
