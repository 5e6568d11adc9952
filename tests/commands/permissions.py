"""Make file permissions apply to root too, because tests may run as root."""

import ctypes

_PR_CAPBSET_DROP, _CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH = 24, 1, 2  # linux/prctl.h, linux/capability.h


def obey_permissions():
    """Give up the capabilities with which root ignores permissions; for `preexec_fn`."""
    for capability in (_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH):
        ctypes.CDLL(None).prctl(_PR_CAPBSET_DROP, capability)
