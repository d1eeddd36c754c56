"""Whole numbers in spoken Chinese, as quantities (not digit by digit)."""

_DIGITS = "零一二三四五六七八九"


def chinese_number(n: int, *, counting: bool = False) -> str:
    """0…999 in words: 20 → 二十, 105 → 一百零五. With `counting`, a lone 2 is 两 (两分钟). Raises ValueError."""
    if not 0 <= n <= 999:
        raise ValueError(f"{n} is not within 0…999")
    if n == 2 and counting:
        return "两"
    if n < 10:
        return _DIGITS[n]
    if n < 20:
        return "十" + (_DIGITS[n % 10] if n % 10 else "")
    if n < 100:
        return _DIGITS[n // 10] + "十" + (_DIGITS[n % 10] if n % 10 else "")
    hundreds, rest = _DIGITS[n // 100] + "百", n % 100
    if not rest:
        return hundreds
    if rest < 10:
        return hundreds + "零" + _DIGITS[rest]
    # After a hundred, a single ten is spoken as 一十: 一百一十五.
    return hundreds + _DIGITS[rest // 10] + "十" + (_DIGITS[rest % 10] if rest % 10 else "")
