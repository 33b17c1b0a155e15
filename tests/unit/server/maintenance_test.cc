#include "server/maintenance.h"

#include "tests/unit/server/intake_fixture.h"

namespace sluice::server {
namespace {

using MaintenanceTest = IntakeTest;

TEST_F(MaintenanceTest, KeepsBooksOnceAtItsEndAndNeedsNoStoreBehindThat) {
  int kept = 0;
  {
    Maintenance maintenance(*store_, {}, [&kept]() -> Status {
      ++kept;
      return {};
    });
    maintenance.stop();
    EXPECT_EQ(kept, 1);
    maintenance.stop();
    close();  // as a server closes its store before all that it has goes
  }
  EXPECT_EQ(kept, 1);
}

}  // namespace
}  // namespace sluice::server
