// Beast's grammar of HTTP/1, into our Request. Beast's own message throws for a field that it has no room for (beyond 64 KiB), from
// a thread that nobody catches on: any stranger could end the server with one header.
//
// Thread rule: belongs to one connection. Part of server.cc; nobody else includes it.
// Hostile input: the head's bytes are counted, whatever pieces they come in; lines behind the last chunk count too and are dropped.
#pragma once

#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>
#include <string>
#include <string_view>

#include "server/http/message.h"

namespace sluice::http {

class RequestParser final : public boost::beast::http::basic_parser<true> {
 public:
  // Writes method, headers and body of `request`, which outlives the parser. Errors beyond Beast's own: header_limit.
  RequestParser(Request& request, size_t head_bytes_max) : request_(request), head_bytes_left_(head_bytes_max) {
    header_limit(static_cast<uint32_t>(head_bytes_max));
    body_limit(boost::none);  // the route says it once the head is there
  }

  // As sent. REQUIRES: the head is there
  const std::string& target() const { return target_; }
  bool is_http_11() const { return version_ >= 11; }

 private:
  using Verb = boost::beast::http::verb;
  using Field = boost::beast::http::field;
  using Text = boost::beast::string_view;
  using Code = boost::beast::error_code;

  void count(size_t bytes, Code& error) {
    if (bytes > head_bytes_left_)
      error = boost::beast::http::error::header_limit;
    else
      head_bytes_left_ -= bytes;
  }

  void on_request_impl(Verb, Text method, Text target, int version, Code& error) override {
    count(method.size() + target.size() + sizeof "  HTTP/1.1\r\n" - 1, error);
    request_.method.assign(method.data(), method.size());
    target_.assign(target.data(), target.size());
    version_ = version;
  }
  void on_field_impl(Field, Text name, Text value, Code& error) override {
    count(name.size() + value.size() + sizeof ": \r\n" - 1, error);
    if (error || is_header_done()) return;
    std::string key(name.data(), name.size());
    for (char& c : key)
      if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
    request_.headers.emplace_back(std::move(key), std::string(value.data(), value.size()));
  }
  void on_header_impl(Code&) override {}
  void on_body_init_impl(const boost::optional<uint64_t>& length, Code&) override {
    if (length) request_.body.reserve(static_cast<size_t>(*length));  // within the route's bound by now
  }
  size_t on_body_impl(Text piece, Code&) override {
    request_.body.append(piece.data(), piece.size());
    return piece.size();
  }
  void on_chunk_header_impl(uint64_t, Text, Code&) override {}
  size_t on_chunk_body_impl(uint64_t, Text piece, Code& error) override { return on_body_impl(piece, error); }
  void on_finish_impl(Code&) override {}
  void on_response_impl(int, Text, int, Code&) override {}

  Request& request_;
  size_t head_bytes_left_;
  std::string target_;
  int version_ = 11;
};

}  // namespace sluice::http
