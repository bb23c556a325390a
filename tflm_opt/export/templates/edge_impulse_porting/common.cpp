WEAK uint64_t ei_read_timer_ms(void)
{
    return ei_read_timer_us() / 1000;
}

WEAK EI_IMPULSE_ERROR ei_run_impulse_check_canceled(void)
{
    return EI_IMPULSE_OK;
}

/* Six decimals as printf's %f gives them, halves to even; small C libraries print no floats. */
WEAK void ei_printf_float(float f)
{
    if (f != f) {
        ei_printf("nan");
        return;
    }
    const bool negative = f < 0.0f;
    const double size = negative ? -(double)f : (double)f;
    if (size > 4294967294.0) {
        ei_printf(negative ? "-large" : "large");
        return;
    }
    uint32_t whole = (uint32_t)size;
    const double millionths = (size - (double)whole) * 1000000.0;
    uint32_t decimals = (uint32_t)millionths;
    const double rest = millionths - (double)decimals;
    if (rest > 0.5 || (rest == 0.5 && (decimals & 1) != 0)) {
        decimals++;
    }
    if (decimals >= 1000000) {
        whole++;
        decimals = 0;
    }
    ei_printf("%s%lu.%06lu", negative ? "-" : "", (unsigned long)whole, (unsigned long)decimals);
}

WEAK void *ei_malloc(size_t size)
{
    return malloc(size);
}

WEAK void *ei_calloc(size_t nitems, size_t size)
{
    return calloc(nitems, size);
}

WEAK void ei_free(void *ptr)
{
    free(ptr);
}
