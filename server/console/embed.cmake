# cmake -D PAGE=FOLDER -D OUT=FILE.cc -P embed.cmake
# Writes a C++ source that holds the files of a folder, as they are and compressed, and where and as what they are served.
cmake_minimum_required(VERSION 3.25)

set(types_html "text/html; charset=utf-8")
set(types_js "text/javascript; charset=utf-8")
set(types_css "text/css; charset=utf-8")
set(types_svg "image/svg+xml")
set(types_txt "text/plain; charset=utf-8")

# Bytes of a file as an array of that name. Lines are for editors' and compilers' sake.
function(append_array name file)
  file(READ ${file} hex HEX)
  string(REGEX REPLACE "(................................)" "\\1\n" hex "${hex}")
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
  file(APPEND ${OUT}.new "constexpr unsigned char ${name}[] = {\n${bytes}0};\n")  # the last byte belongs to no file: none may be empty
endfunction()

file(GLOB names RELATIVE ${PAGE} ${PAGE}/*)
list(SORT names)
list(REMOVE_ITEM names index.html)
list(PREPEND names index.html)

file(WRITE ${OUT}.new "// Made by server/console/embed.cmake of server/console/page.\n#include \"server/console/page_file.h\"\n\nnamespace sluice::console {\nnamespace {\n\n")
set(rows "")
set(number 0)
foreach(name ${names})
  string(REGEX REPLACE ".*\\." "" extension ${name})
  if(NOT DEFINED types_${extension})
    message(FATAL_ERROR "server/console/page/${name}: what is served as .${extension} is not known")
  endif()
  append_array(file_${number} ${PAGE}/${name})
  file(ARCHIVE_CREATE OUTPUT ${OUT}.gz PATHS ${PAGE}/${name} FORMAT raw COMPRESSION GZip COMPRESSION_LEVEL 9)
  append_array(gzip_${number} ${OUT}.gz)
  file(SHA256 ${PAGE}/${name} hash)
  string(SUBSTRING ${hash} 0 32 hash)
  set(path "/console/${name}")
  set(kept false)
  if(name STREQUAL "index.html")
    set(path "/")
  elseif(name MATCHES "-[A-Z0-9]+\\.[a-z]+$")
    set(kept true)
  endif()
  string(APPEND rows "    {\"${path}\", \"${types_${extension}}\", text(file_${number}), text(gzip_${number}), \"\\\"${hash}\\\"\", ${kept}},\n")
  math(EXPR number "${number} + 1")
endforeach()
file(REMOVE ${OUT}.gz)
file(APPEND ${OUT}.new "
template <size_t kSize>
std::string_view text(const unsigned char (&bytes)[kSize]) {
  return {reinterpret_cast<const char*>(bytes), kSize - 1};
}

}  // namespace

std::span<const PageFile> page_files() {
  static const PageFile kFiles[] = {
${rows}  };
  return kFiles;
}

}  // namespace sluice::console
")
file(RENAME ${OUT}.new ${OUT})
