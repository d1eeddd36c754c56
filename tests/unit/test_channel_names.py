"""No number of a caller leaves in a channel's name."""

from __future__ import annotations

import pytest

from hearline.core.channel_names import shown


@pytest.mark.parametrize(
    ("channel", "as_shown"),
    [
        ("PJSIP/trunk-00000001", "PJSIP/trunk-00000001"),
        ("PJSIP/agent-8016-12345678", "PJSIP/agent-8016-12345678"),
        ("Local/13800005678@call-back-00000007;2", "Local/****5678@call-back-00000007;2"),
        ("Local/+8613800005678@call-back-00000007;1<ZOMBIE>", "Local/+****5678@call-back-00000007;1<ZOMBIE>"),
        ("Local/agent-8016@hearline-ring-00000001;1", "Local/agent-8016@hearline-ring-00000001;1"),
        ("PJSIP/13800005678-0000002a", "PJSIP/****5678-0000002a"),
        ("DAHDI/i1/88886666-1", "DAHDI/i1/****6666-1"),
        ("SIP/8888666", "SIP/****8666"),
        ("", ""),
    ],
)
def test_of_a_number_in_a_channels_name_the_last_four_digits_are_shown(channel, as_shown):
    assert shown(channel) == as_shown == shown(shown(channel))
