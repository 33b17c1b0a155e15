// Folder feed: watches a directory and brings the content of each file once, whatever happens to the file's name.
//
// Files of line formats are followed as they grow, from the byte at which the last durable line ended. A line without its end waits
// for it. Compressed files, and files of formats that are documents (JSON, captures), are taken whole once they have not changed
// for a while.
//
// A file is known by device and inode, and these can lie: they are used again after a file is removed, and a file can be
// cut off and written anew. So its first and last known bytes are kept too, and looked at whenever it has changed. What does not
// match is another file's content and read from its start. The other way round, content that is known under another inode (a rotated
// log that was copied, or compressed) is not read again, and goes on behind what is known of it.
//
// A file that is renamed or removed while it is open is read to its end.
//
// Keys: path (directory); glob, exclude (patterns, of the name or with '/' of the path below the directory); recursive; period;
// settle (how long a file that is taken whole must not have changed); follow (false: files of line formats are taken whole too);
// start ("beginning", or "end": what is there at the very first start is passed by); after ("keep", "delete", "move" with
// move_to); finish_after (a growing file that has not changed for so long is at its end: its last line counts without a line end, and `after`
// is done; 0: never, which needs after = "keep").
//
// Checkpoint keys: "file/DEVICE-INODE" and, for content that was known under an inode that has other content now,
// "was/DEVICE-INODE-HASH"; values are maps (text_list.h). "began" says that there was a first poll.
//
// Thread rule: as Feed. Looks by polling: inotify tells nothing on network file systems, loses events when its queue is full, and
// the look at each file is needed after a restart anyway.
#pragma once

#include <memory>

#include "ingest/receive/feed.h"

namespace sluice::ingest {

Result<std::unique_ptr<Feed>> make_folder_feed(FeedSettings& settings);

}  // namespace sluice::ingest
