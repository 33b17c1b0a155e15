# The optional Arrow module's library: target sluice_arrow, when it is there.
#   SLUICE_ARROW=AUTO (default)  the system's packages, else what scripts/arrow brought; without either Parquet is left out
#   SLUICE_ARROW=ON              as AUTO, but without either the configuration fails
#   SLUICE_ARROW=OFF             left out
set(SLUICE_ARROW AUTO CACHE STRING "Read Parquet, and answer as Parquet and Arrow, with Apache Arrow: AUTO, ON or OFF")
set_property(CACHE SLUICE_ARROW PROPERTY STRINGS AUTO ON OFF)

if(NOT SLUICE_ARROW STREQUAL "OFF")
  find_package(Arrow CONFIG QUIET)
  find_package(Parquet CONFIG QUIET)
  set(fetched ${CMAKE_SOURCE_DIR}/build/arrow)
  if(Arrow_FOUND AND Parquet_FOUND AND TARGET Arrow::arrow_shared AND TARGET Parquet::parquet_shared)
    add_library(sluice_arrow INTERFACE)
    target_link_libraries(sluice_arrow INTERFACE Parquet::parquet_shared Arrow::arrow_shared)
    set(sluice_arrow_includes $<TARGET_PROPERTY:Arrow::arrow_shared,INTERFACE_INCLUDE_DIRECTORIES>)
    message(STATUS "Parquet: Apache Arrow ${Arrow_VERSION} of the system")
  elseif(EXISTS ${fetched}/version AND EXISTS ${fetched}/include/parquet/arrow/reader.h)
    file(READ ${fetched}/version version)
    string(STRIP "${version}" version)
    add_library(sluice_arrow INTERFACE)
    # Their libstdc++ is the new ABI's, as ours (wheels of manylinux_2_28).
    target_link_libraries(sluice_arrow INTERFACE ${fetched}/lib/libparquet.so ${fetched}/lib/libarrow.so)
    target_link_options(sluice_arrow INTERFACE -Wl,-rpath,${fetched}/lib)
    set(sluice_arrow_includes ${fetched}/include)
    message(STATUS "Parquet: Apache Arrow ${version} of scripts/arrow")
  elseif(SLUICE_ARROW STREQUAL "ON")
    message(FATAL_ERROR "SLUICE_ARROW is ON, and neither the system's Arrow and Parquet packages nor build/arrow (scripts/arrow) are there")
  endif()
endif()
if(NOT TARGET sluice_arrow)
  message(STATUS "Parquet is left out: no Apache Arrow (scripts/arrow brings it)")
endif()
