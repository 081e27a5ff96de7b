# Finds the CUDA compiler and turns the language CUDA on. Sets CUNN_WITH_CUDA, and when it is ON CUNN_CUDART (the static
# run-time library) and CUNN_CUDA_INCLUDE.
#
# Looked for in CMAKE_CUDA_COMPILER, CUDACXX, CUDA_PATH, the wheels of the Python that is first on PATH (a virtual
# environment's own, when one is active), PATH, /usr/local/cuda. No system toolkit is needed:
#
#   pip install "cuda-toolkit[nvcc,nvvm,crt,cudart,cccl]==13.0.2" nvidia-nvvm==13.0.88 nvidia-cuda-crt==13.0.88
#
# (the extra alone takes the newest nvvm and crt, which write PTX that this ptxas does not read).
set(CUNN_WITH_CUDA OFF)

if(NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
  set(roots "$ENV{CUDA_PATH}")
  if(NOT roots)
    set(python python3)
    if(SKBUILD AND Python3_EXECUTABLE)
      set(python "${Python3_EXECUTABLE}")
    elseif(SKBUILD AND Python_EXECUTABLE)
      set(python "${Python_EXECUTABLE}")
    endif()
    execute_process(COMMAND "${python}" -c "import sysconfig; print(sysconfig.get_path('purelib'))"
                    OUTPUT_VARIABLE site_packages OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
    if(NOT failed)
      set(roots "${site_packages}/nvidia/cu13")
    endif()
    list(APPEND roots ENV PATH /usr/local/cuda)
  endif()
  find_program(CMAKE_CUDA_COMPILER nvcc PATHS ${roots} PATH_SUFFIXES bin NO_DEFAULT_PATH)
  if(NOT CMAKE_CUDA_COMPILER)
    unset(CMAKE_CUDA_COMPILER CACHE)
  endif()
endif()

if(CMAKE_CUDA_COMPILER OR DEFINED ENV{CUDACXX})
  # nvcc's own profile names lib64; the wheels have lib. The environment reaches the trial compilations too.
  get_filename_component(root "${CMAKE_CUDA_COMPILER}" DIRECTORY)
  get_filename_component(root "${root}" DIRECTORY)
  if(EXISTS "${root}/lib/libcudart_static.a")
    set(ENV{CUDAFLAGS} "$ENV{CUDAFLAGS} -L${root}/lib")
  endif()
  if(NOT CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES "80-real;90a-real;90-virtual" CACHE STRING "CUDA architectures")
  endif()
  include(CheckLanguage)
  check_language(CUDA)
endif()

if(CMAKE_CUDA_COMPILER)
  enable_language(CUDA)
  find_library(CUNN_CUDART cudart_static NO_DEFAULT_PATH
               HINTS ${CMAKE_CUDA_IMPLICIT_LINK_DIRECTORIES} "${root}/lib64" "${root}/lib" "${root}/targets/x86_64-linux/lib")
  if(CUNN_CUDART)
    set(CUNN_CUDA_INCLUDE ${CMAKE_CUDA_TOOLKIT_INCLUDE_DIRECTORIES})
    set(CUNN_WITH_CUDA ON)
    message(STATUS "cuda device: ${CMAKE_CUDA_ARCHITECTURES}, by ${CMAKE_CUDA_COMPILER} ${CMAKE_CUDA_COMPILER_VERSION}")
  else()
    message(STATUS "cuda device: left out, ${CMAKE_CUDA_COMPILER} comes without libcudart_static.a")
  endif()
else()
  message(STATUS "cuda device: left out, no CUDA compiler that works")
endif()
