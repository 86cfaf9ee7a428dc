"""The contrastive encoder of Audio Doppelgängers (Cherep & Singh, 2025): features, network, losses. Shared by stages; not a stage itself.

Import what a stage needs from the module that holds it (``from tasks.contrastive.encoder import Encoder, load``).
"""
