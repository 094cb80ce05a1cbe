"""The parts of tools/portability: what is installed (place), the compilers (compilers), other Vulkan
implementations (runs), the page (matrix)."""
