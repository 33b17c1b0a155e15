// A reader for the small XML documents that object stores answer with: elements, text, CDATA, the five named entities and
// character references. Namespace prefixes and attributes are passed over, since no answer of S3 or Azure needs them.
//
//   reader.next()* until Kind::end or Kind::error
//
// Why our own and not a library: the documents are flat lists of a known shape; what makes XML dangerous is what is left out.
// A document type declaration is refused, so there are no entities to expand and nothing to fetch; depth and text are
// bounded; nothing recurses.
//
// Thread rule: belongs to one thread. The document must outlive the reader.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "storage/model/result.h"

namespace sluice::ingest {

class XmlReader {
 public:
  enum class Kind {
    open,   // name() has begun
    close,  // name() has ended; for <a/> it follows `open` at once
    text,   // text(): all text up to the next tag, decoded; never empty
    end,    // the root element is closed and nothing but comments and white space follows
    error,  // error() says what and where; stays
  };

  // An xml declaration and a byte order mark are passed over.
  explicit XmlReader(std::string_view document);

  Kind next();
  // Valid until the next call. The name is without its prefix ("s3:Key" is "Key").
  std::string_view name() const { return name_; }
  const std::string& text() const { return text_; }
  size_t depth() const { return open_.size(); }
  Error error() const;

 private:
  Kind fail(std::string_view what);
  Kind read_tag();
  bool read_text();
  bool decode_reference();
  bool skip_past(std::string_view end, std::string_view what);

  std::string_view rest_;
  const size_t size_;
  std::vector<std::string_view> open_;  // names as written
  std::string_view name_;
  std::string text_;
  std::string error_;
  bool close_pending_ = false;  // of <a/>
  bool root_done_ = false;
};

// The text of the first element with this name at any depth, or "" ("<Code>NoSuchKey</Code>"); for error answers.
std::string xml_text_of(std::string_view document, std::string_view element);

}  // namespace sluice::ingest
