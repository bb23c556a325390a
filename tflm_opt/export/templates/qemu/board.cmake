# {{ board.name }}: a toolchain file. Its programs run in QEMU, ctest starts it.
set(CMAKE_SYSTEM_NAME Generic)
set(CMAKE_SYSTEM_PROCESSOR {{ board.core }})
set(CMAKE_C_COMPILER {{ board.toolchain.prefix }}gcc)
set(CMAKE_CXX_COMPILER {{ board.toolchain.prefix }}g++)
set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)
set(CMAKE_C_FLAGS_INIT "{{ flags }} -ffunction-sections -fdata-sections")
set(CMAKE_CXX_FLAGS_INIT "{{ flags }} -ffunction-sections -fdata-sections -fno-exceptions -fno-rtti")
set(CMAKE_EXE_LINKER_FLAGS_INIT
    "{{ link_flags }} -T${CMAKE_CURRENT_LIST_DIR}/{{ board.id }}.ld")
set(CMAKE_CROSSCOMPILING_EMULATOR
    {{ board.toolchain.emulator }} {{ arguments | join(" ") }} -kernel)

# What the program takes beside its own sources.
set(TFLM_OPT_QEMU_DEFINES {{ defines | join(" ") }})
set(TFLM_OPT_QEMU_INCLUDE ${CMAKE_CURRENT_LIST_DIR}/core)
set(TFLM_OPT_QEMU_CORE
{% for source in core %}
    ${CMAKE_CURRENT_LIST_DIR}/core/{{ source }}
{% endfor %}
)
