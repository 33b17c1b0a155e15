// A store with what takes bodies and pieces of feeds into it.
#pragma once

#include <gtest/gtest.h>
#include <zlib.h>

#include <filesystem>

#include "server/feed_intake.h"
#include "server/limits.h"
#include "storage/catalog/catalog.h"

namespace sluice::server {

inline std::string line(int n) {
  return "2 123456789012 eni-1 10.0." + std::to_string(n >> 8) + "." + std::to_string(n & 255) + " 172.31.0.9 1024 443 6 10 840 1763625600 1763625601 ACCEPT OK\n";
}

// The same, each in another hour than the one before.
inline std::string hourly_line(int n) {
  const std::string time = std::to_string(1'763'625'600 - int64_t{3'600} * n);
  return "2 123456789012 eni-1 10.0." + std::to_string(n >> 8) + "." + std::to_string(n & 255) + " 172.31.0.9 1024 443 6 10 840 " + time + " " + time + " ACCEPT OK\n";
}
inline std::string hourly_lines(int begin, int end) {
  std::string text;
  for (int n = begin; n < end; ++n) text += hourly_line(n);
  return text;
}

inline std::string gzipped(std::string_view plain) {
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, 1, Z_DEFLATED, 31, 9, Z_DEFAULT_STRATEGY), Z_OK);
  std::string out(deflateBound(&stream, plain.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(plain.data()));
  stream.avail_in = static_cast<uInt>(plain.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

// An intake on a store of its own.
class IntakeTest : public ::testing::Test {
 protected:
  explicit IntakeTest(std::string source = "aws_vpc") : clock_(1'763'625'700 * kSecond), source_(std::move(source)) {
    char name[] = "/tmp/sluice-intake-XXXXXX";
    root_ = mkdtemp(name);
    open();
  }
  ~IntakeTest() override {
    close();
    std::filesystem::remove_all(root_);
  }
  void close() {
    intake_.reset();
    ingest_.reset();
    losses_.reset();
    store_.reset();
  }
  void open() {
    close();
    store::StoreOptions options;
    options.directory = root_;
    options.sync = false;
    auto store = store::Store::open(options, clock_);
    ASSERT_TRUE(store.ok()) << store.error().message;
    store_ = std::move(*store);
    losses_ = std::make_unique<LossBook>(&store_->catalog());
    ingest_ = std::make_unique<IngestService>(*store_, clock_, metrics_, *losses_, limits::kIngestInFlightBytesMax);
    intake_ = std::make_unique<FeedIntake>(FeedIntake::Identity{"f", source_, "", feed_format(source_)},
                                           FeedIntake::Parts{*store_, clock_, metrics_, *losses_, *ingest_, large_});
  }
  ingest::PieceResult take(ingest::FeedPiece piece) {
    auto result = intake_->take(std::move(piece), [] { return false; });
    EXPECT_TRUE(result.ok()) << result.error().message;
    return result.ok() ? *result : ingest::PieceResult{};
  }
  ingest::Checkpoint checkpoint() {
    auto kept = intake_->restore();
    EXPECT_TRUE(kept.ok());
    return kept.ok() ? *kept : ingest::Checkpoint{};
  }
  uint64_t rows() const {
    const auto s = store_->stats();
    return s.open_rows + s.segment_rows;
  }

  ManualClock clock_;
  const std::string source_;
  std::string root_;
  Metrics metrics_;
  std::mutex large_;
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<LossBook> losses_;
  std::unique_ptr<IngestService> ingest_;
  std::unique_ptr<FeedIntake> intake_;
};

}  // namespace sluice::server
