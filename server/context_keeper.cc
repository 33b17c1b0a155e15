#include "server/context_keeper.h"

#include <charconv>

#include "query/limits.h"
#include "query/words.h"

namespace sluice::server {
namespace {

using catalog::Keyspace;

std::string encode(const query::ContextTable& table) {
  return "1\t" + std::to_string(table.version) + "\t" + std::to_string(table.updated_at) + "\t" + table.key_name() + "\t" + table.name() + "\n" + table.csv();
}

std::optional<std::string_view> next_field(std::string_view& text, char end) {
  const size_t at = text.find(end);
  if (at == std::string_view::npos) return std::nullopt;
  const std::string_view field = text.substr(0, at);
  text.remove_prefix(at + 1);
  return field;
}

template <typename T>
bool number_of(std::optional<std::string_view> text, T& out) {
  if (!text) return false;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), out);
  return error == std::errc() && end == text->data() + text->size();
}

Result<query::ContextTable> decode(std::string_view key, std::string_view value) {
  const auto bad = [&](std::string_view why) {
    return Error{ErrorCode::corrupt, "the catalogue's table '" + std::string(key) + "' cannot be read: " + std::string(why)};
  };
  int format = 0;
  uint64_t version = 0;
  TimestampNs updated = 0;
  if (!number_of(next_field(value, '\t'), format) || format != 1 || !number_of(next_field(value, '\t'), version) || !number_of(next_field(value, '\t'), updated))
    return bad("its first line is not ours");
  const auto column = next_field(value, '\t'), name = next_field(value, '\n');
  if (!column || !name) return bad("its first line is not ours");
  auto table = query::ContextTable::read(std::string(*name), *column, std::string(value));
  if (!table.ok()) return bad(table.error().message);
  table->version = version;
  table->updated_at = updated;
  return table;
}

}  // namespace

Status ContextKeeper::load() {
  std::shared_ptr<const query::TableBook> book = std::make_shared<query::TableBook>();
  Status failed;
  SLUICE_TRY(catalog_.scan(Keyspace::context, "", [&](std::string_view key, std::string_view value) {
    auto table = decode(key, value);
    if (!table.ok()) {
      failed = std::move(table).error();
      return false;
    }
    book = book->with(std::make_shared<query::ContextTable>(std::move(table).value()));
    return true;
  }));
  SLUICE_TRY(failed);
  std::lock_guard lock(mutex_);
  book_ = std::move(book);
  return {};
}

std::shared_ptr<const query::TableBook> ContextKeeper::tables() const {
  std::lock_guard lock(mutex_);
  return book_;
}

Result<uint64_t> ContextKeeper::put_table(query::ContextTable table, bool replace) {
  std::lock_guard lock(mutex_);
  const auto before = book_->find(table.name());
  if (before && !replace) return Error{ErrorCode::conflict, "there is a table '" + before->name() + "' already"};
  if (!before && book_->tables().size() >= limits::kContextTablesMax)
    return Error{ErrorCode::too_large, "there are as many tables as there may be: " + std::to_string(limits::kContextTablesMax)};
  const size_t others = book_->byte_size() - (before ? before->csv().size() : 0);
  if (others + table.csv().size() > limits::kContextBytesMax)
    return Error{ErrorCode::too_large, "all tables together would have more bytes than the limit: " + std::to_string(limits::kContextBytesMax)};
  table.version = before ? before->version + 1 : 1;
  table.updated_at = clock_.now();
  SLUICE_TRY(catalog_.put(Keyspace::context, query::lower_case(table.name()), encode(table), catalog::Sync::yes));
  const uint64_t version = table.version;
  book_ = book_->with(std::make_shared<query::ContextTable>(std::move(table)));
  return version;
}

Status ContextKeeper::drop_table(std::string_view name) {
  std::lock_guard lock(mutex_);
  if (!book_->find(name)) return Error{ErrorCode::not_found, "there is no table '" + std::string(name) + "'"};
  SLUICE_TRY(catalog_.erase(Keyspace::context, query::lower_case(name), catalog::Sync::yes));
  book_ = book_->without(name);
  return {};
}

}  // namespace sluice::server
