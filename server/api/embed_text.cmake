# cmake -D TEXT=FILE -D OUT=FILE.cc -P embed_text.cmake
# Writes a C++ source that gives the text of docs/openapi.json, which the server serves as it is.
cmake_minimum_required(VERSION 3.25)
file(READ ${TEXT} text)
if(text MATCHES "\\)openapi\"")
  message(FATAL_ERROR "${TEXT} holds what ends a literal here")
endif()
file(WRITE ${OUT} "// Made by server/api/embed_text.cmake of docs/openapi.json.\n#include \"server/api/routes.h\"\n\nnamespace sluice::api {\n\nstd::string_view openapi_page() {\n  return R\"openapi(${text})openapi\";\n}\n\n}  // namespace sluice::api\n")
