"""List Vulkan's devices as JSON. Run as a script, in a process that may end if a driver breaks: standard library only.

Structures and numbers: https://registry.khronos.org/vulkan/specs/latest/man/html/ (vulkan_core.h).
"""

from __future__ import annotations

import ctypes
import ctypes.util
import json
import struct
import sys

_TYPES = ("other", "integrated", "discrete", "virtual", "cpu")
_LIBRARIES = ("libvulkan.so.1", "vulkan-1.dll", "libvulkan.1.dylib")
_APPLICATION_INFO, _INSTANCE_CREATE_INFO = 0, 1
_MEMORY_PROPERTIES_2, _MEMORY_BUDGET = 1000059006, 1000237000
_API_1_1 = 1 << 22 | 1 << 12
# Offsets in VkPhysicalDeviceProperties and VkPhysicalDeviceMemoryProperties.
_TYPE, _NAME, _NAME_LENGTH = 16, 20, 256
_HEAP_COUNT, _HEAPS, _HEAP_SIZE = 260, 264, 16
_DEVICE_LOCAL, _MOST_HEAPS = 1, 16
_HEADER = 16  # sType, padding, pNext


def vulkan_library() -> ctypes.CDLL | None:
    """Return the Vulkan loader, or None if it is not installed."""
    for name in _LIBRARIES:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    return None


def list_devices(library: ctypes.CDLL) -> list[dict[str, object]]:
    """Return name, type, and bytes of the device's memory in all and free, of each device. Raise OSError.

    Without VK_EXT_memory_budget all memory counts as free.
    """
    application = ctypes.create_string_buffer(struct.pack("@iPPIPII", _APPLICATION_INFO, 0, 0, 0, 0, 0, _API_1_1))
    create = struct.pack("@iPIPIPIP", _INSTANCE_CREATE_INFO, 0, 0, ctypes.addressof(application), 0, 0, 0, 0)
    instance = ctypes.c_void_p()
    if library.vkCreateInstance(ctypes.create_string_buffer(create), None, ctypes.byref(instance)):
        raise OSError("Vulkan cannot be started")
    count = ctypes.c_uint32()
    library.vkEnumeratePhysicalDevices(instance, ctypes.byref(count), None)
    devices = (ctypes.c_void_p * count.value)()
    library.vkEnumeratePhysicalDevices(instance, ctypes.byref(count), devices)
    found = [_describe(library, ctypes.c_void_p(device)) for device in devices[: count.value]]
    library.vkDestroyInstance(instance, None)
    return found


def _describe(library: ctypes.CDLL, device: ctypes.c_void_p) -> dict[str, object]:
    facts = ctypes.create_string_buffer(4096)
    library.vkGetPhysicalDeviceProperties(device, facts)
    (kind,) = struct.unpack_from("I", facts, _TYPE)
    name = facts.raw[_NAME : _NAME + _NAME_LENGTH].split(b"\0")[0].decode("utf-8", "replace")
    budget = ctypes.create_string_buffer(struct.pack("@iP", _MEMORY_BUDGET, 0), _HEADER + 2 * 8 * _MOST_HEAPS)
    memory = ctypes.create_string_buffer(struct.pack("@iP", _MEMORY_PROPERTIES_2, ctypes.addressof(budget)), 1024)
    library.vkGetPhysicalDeviceMemoryProperties2(device, memory)
    total = free = 0
    (heaps,) = struct.unpack_from("I", memory, _HEADER + _HEAP_COUNT)
    for heap in range(min(heaps, _MOST_HEAPS)):
        size, flags = struct.unpack_from("QI", memory, _HEADER + _HEAPS + heap * _HEAP_SIZE)
        (allowed,) = struct.unpack_from("Q", budget, _HEADER + 8 * heap)
        (used,) = struct.unpack_from("Q", budget, _HEADER + 8 * (_MOST_HEAPS + heap))
        if flags & _DEVICE_LOCAL:
            total += size
            free += max(0, min(size, allowed or size) - used)
    return {"name": name, "type": _TYPES[kind] if kind < len(_TYPES) else "other", "total": total, "free": free}


if __name__ == "__main__":
    loader = vulkan_library()
    json.dump(list_devices(loader) if loader else [], sys.stdout)
