// Strings <-> bytes, for text that is not worth a dictionary: flow ids, the `extra` column.
//
// Payload: varint groups' count is known from the count of strings; per group of kTextGroup strings a u32 length of its
// lengths stream, a u32 length of its piece and a u32 size of its text; then for each group the stream (integer_codec.h)
// and the piece (compress.h). A group opens alone. Thread rule: pure functions. Errors: corrupt; a group never expands
// beyond kTextGroup · limits::kStringBytesMax, and never is allocated before its numbers agree.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "storage/codec/byte_io.h"
#include "storage/model/column.h"
#include "storage/model/result.h"

namespace sluice::codec {

inline constexpr uint32_t kTextGroup = 4'096;

void encode_text(std::span<const std::string_view> strings, std::string& out);
// Appends strings [from, to) of `count`. REQUIRES: from <= to <= count <= kStreamValuesMax
Status decode_text(Bytes payload, uint32_t count, uint32_t from, uint32_t to, StringVector& out);
// Appends the strings at `rows`, ascending.
Status decode_text_rows(Bytes payload, uint32_t count, std::span<const uint32_t> rows, StringVector& out);

}  // namespace sluice::codec
