# What every target shares: warnings, sanitizers, ccache, a fast linker, and the functions that declare rooms.

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM)
  set(CMAKE_C_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
endif()

find_package(Threads REQUIRED)

add_library(sluice_flags INTERFACE)
target_include_directories(sluice_flags INTERFACE ${CMAKE_SOURCE_DIR} ${CMAKE_BINARY_DIR}/generated)
target_compile_options(sluice_flags INTERFACE -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Werror=return-type
                                              -fno-omit-frame-pointer)
# Files are named from the checkout on, in messages and in what ccache compares: another checkout of the same code finds its objects.
target_compile_options(sluice_flags INTERFACE -fmacro-prefix-map=${CMAKE_SOURCE_DIR}/=)
if(CMAKE_UNITY_BUILD)
  # A type in a .cc may have members of its anonymous namespace, also where that file is included by another.
  target_compile_options(sluice_flags INTERFACE $<$<CXX_COMPILER_ID:GNU>:-Wno-subobject-linkage>)
endif()
target_link_libraries(sluice_flags INTERFACE Threads::Threads)
if(SLUICE_SANITIZE)
  target_compile_options(sluice_flags INTERFACE -fsanitize=${SLUICE_SANITIZE} -fno-sanitize-recover=all)
  if(SLUICE_SANITIZE MATCHES undefined)
    # A null pointer that is followed ends the program under AddressSanitizer with the same stack; to ask of each pointer before costs a fifth of
    # the build.
    target_compile_options(sluice_flags INTERFACE -fno-sanitize=null,vptr,object-size)
  endif()
  target_link_options(sluice_flags INTERFACE -fsanitize=${SLUICE_SANITIZE})
endif()
if(SLUICE_FUZZ)
  # What a fuzzer explores is counted; the tests' own code, marked by sluice_test(), is no such thing.
  target_compile_options(sluice_flags INTERFACE $<$<NOT:$<BOOL:$<TARGET_PROPERTY:SLUICE_TEST>>>:-fsanitize=fuzzer-no-link>)
endif()
find_program(LLD_PROGRAM ld.lld)
if(LLD_PROGRAM)
  target_link_options(sluice_flags INTERFACE -fuse-ld=lld)
endif()

# sluice_room(NAME [DEPS target…] [LIBS library…])
# A static library of all *.cc in the current folder (not below it).
function(sluice_room NAME)
  cmake_parse_arguments(ARG "" "" "DEPS;LIBS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cc)
  list(FILTER sources EXCLUDE REGEX "/main\\.cc$")
  add_library(${NAME} STATIC ${sources})
  target_link_libraries(${NAME} PUBLIC sluice_flags ${ARG_DEPS} PRIVATE ${ARG_LIBS})
endfunction()

# sluice_sedate(target…)
# What these do, they do once for a request or a body and not for each flow: under sanitizers they are built without optimisation, which takes half
# of the time.
function(sluice_sedate)
  if(SLUICE_SANITIZE)
    foreach(target ${ARGN})
      target_compile_options(${target} PRIVATE -O0)
    endforeach()
  endif()
endfunction()

# sluice_test(NAME DEPS target… [LABELS l…] [TIMEOUT seconds] [COST seconds])
# One GoogleTest program of all *_test.cc in the current folder, run as one ctest entry. COST is about what it takes: ctest begins with what
# takes longest, so that no core waits at the end for one that began last. A machine that ran the tests before knows better, and asks no COST.
function(sluice_test NAME)
  cmake_parse_arguments(ARG "" "TIMEOUT;COST" "DEPS;LABELS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*_test.cc)
  if(NOT sources)
    return()
  endif()
  add_executable(${NAME} ${sources})
  target_link_libraries(${NAME} PRIVATE ${ARG_DEPS} GTest::gtest GTest::gtest_main)
  # Half of a build is tests, and half of that would be making code fast that runs once.
  set_target_properties(${NAME} PROPERTIES SLUICE_TEST ON)
  if(SLUICE_SANITIZE)
    target_compile_options(${NAME} PRIVATE -O0)
  else()
    target_compile_options(${NAME} PRIVATE -O1)
  endif()
  target_compile_definitions(${NAME} PRIVATE SLUICE_SOURCE_DIR="${CMAKE_SOURCE_DIR}" SLUICE_BINARY_DIR="${CMAKE_BINARY_DIR}")
  add_test(NAME ${NAME} COMMAND ${NAME} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 600)
  endif()
  if(SLUICE_SANITIZE)
    math(EXPR ARG_TIMEOUT "3 * ${ARG_TIMEOUT}")  # a slow machine is no fault
  endif()
  set_tests_properties(${NAME} PROPERTIES TIMEOUT ${ARG_TIMEOUT} LABELS "${ARG_LABELS}")
  if(ARG_COST)
    set_tests_properties(${NAME} PROPERTIES COST ${ARG_COST})
  endif()
  if(SLUICE_SANITIZE AND ARG_LABELS MATCHES "crash|native")
    set_target_properties(${NAME} PROPERTIES EXCLUDE_FROM_ALL ON)  # scripts/test leaves these out there: built when asked for by name
  endif()
endfunction()

# sluice_fuzz(NAME DEPS target…)
# tests/fuzz/NAME.cc defines LLVMFuzzerTestOneInput. With SLUICE_FUZZ it becomes a libFuzzer program; otherwise the same
# file is linked with replay_main.cc, which runs the kept corpus (tests/fuzz/corpus/NAME) as an ordinary test.
function(sluice_fuzz NAME)
  cmake_parse_arguments(ARG "" "" "DEPS" ${ARGN})
  if(SLUICE_FUZZ)
    add_executable(fuzz_${NAME} ${NAME}.cc)
    target_link_options(fuzz_${NAME} PRIVATE -fsanitize=fuzzer)
  else()
    add_executable(fuzz_${NAME} ${NAME}.cc replay_main.cc)
    add_test(NAME fuzz_${NAME}_corpus COMMAND fuzz_${NAME} ${CMAKE_CURRENT_SOURCE_DIR}/corpus/${NAME}
             WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  endif()
  target_link_libraries(fuzz_${NAME} PRIVATE ${ARG_DEPS})
endfunction()
