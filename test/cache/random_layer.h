// Layers out of a seed: every kind of entry, sizes around block borders, names that sort before ".", long ones, holes.
#pragma once

#include <random>
#include <set>
#include <string>
#include <vector>

#include "test/cache/tar_builder.h"

namespace burstlet::cache::test {

struct RandomLayer {
  std::string tar;
  std::set<std::string> implied;  // directories that no entry brings
};

class RandomLayerMaker {
 public:
  struct Kinds {
    bool whiteouts = true;
    bool devices = true;
  };

  RandomLayerMaker(unsigned seed, Kinds kinds) : random_(seed), kinds_(kinds) {}

  RandomLayer Make(int entries) {
    layer_.implied.insert(".");
    if (Chance(50)) {
      tar_.Dir("./", Attributes(true));
      layer_.implied.erase(".");
    }
    for (int i = 0; i < entries; ++i) AddOne();
    layer_.tar = tar_.Finish();
    return std::move(layer_);
  }

 private:
  unsigned Below(unsigned limit) { return std::uniform_int_distribution<unsigned>(0, limit - 1)(random_); }
  bool Chance(unsigned percent) { return Below(100) < percent; }

  std::string Name() {
    static const std::string kLetters = "!#+-.0AZaz~\xc3\xa9 _%";
    while (true) {
      std::string name;
      const unsigned length = Chance(5) ? 200 + Below(56) : 1 + Below(12);
      // Bytes above 0x7f only as whole characters: PAX headers are UTF-8.
      while (name.size() < length) {
        const char c = kLetters[Below(static_cast<unsigned>(kLetters.size()))];
        if ((c & 0x80) != 0) {
          if (name.size() + 2 <= length) name += "\xc3\xa9";
        } else {
          name += c;
        }
      }
      if (name != "." && name != ".." && name.rfind(".wh.", 0) != 0) return name;
    }
  }

  std::string NewPath() {
    std::string directory =
        directories_.empty() || Chance(20) ? "" : directories_[Below(static_cast<unsigned>(directories_.size()))];
    if (directory.size() > 1500) directory.clear();
    while (true) {
      const std::string path = (directory.empty() ? "" : directory + "/") + Name();
      if (used_.insert(path).second) return path;
    }
  }

  std::string Bytes(std::size_t size) {
    std::string out(size, '\0');
    for (std::size_t i = 0; i < size; i += 7) out[i] = static_cast<char>(random_());
    return out;
  }

  TarBuilder::Options Attributes(bool xattrs) {
    TarBuilder::Options options;
    options.mode = Below(010000);
    options.uid = Chance(50) ? 0 : Below(2'000'000'000);
    options.gid = Chance(50) ? 0 : Below(2'000'000'000);
    options.mtime = Chance(5) ? -1'000'000 : Chance(10) ? 5'000'000'000 : 1'000'000'000 + Below(700'000'000);
    // Fractions before 1970 are not what libarchive takes them for.
    options.mtime_ns = options.mtime < 0 || Chance(50) ? 0 : static_cast<long>(Below(1'000'000'000));
    if (xattrs && Chance(20)) {
      for (unsigned i = 0; i <= Below(3); ++i) options.xattrs["user.k" + std::to_string(i)] = Bytes(Below(300));
    }
    if (xattrs && Chance(5)) {
      // struct vfs_cap_data, revision 2: CAP_NET_BIND_SERVICE permitted and effective.
      options.xattrs["security.capability"] = std::string("\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
    }
    return options;
  }

  std::size_t Size() {
    static const std::size_t kSizes[] = {0, 1, 100, 4095, 4096, 4097, 8192, 12288, 70000, 400'000};
    return kSizes[Below(10)];
  }

  void AddOne() {
    const std::string path = NewPath();
    const unsigned kind = Below(100);
    if (kind < 20) {
      tar_.Dir(path + "/", Attributes(true));
      directories_.push_back(path);
    } else if (kind < 24) {
      const std::string below = path + "/" + Name();
      used_.insert(below);
      tar_.File(below, "implied", Attributes(false));
      layer_.implied.insert(path);
      directories_.push_back(path);
    } else if (kind < 36) {
      const unsigned length = Chance(10) ? 4000 + Below(95) : 1 + Below(60);
      tar_.Symlink(path, std::string(length, 'l'), Attributes(false));
    } else if (kind < 44 && !files_.empty()) {
      tar_.Hardlink(path, files_[Below(static_cast<unsigned>(files_.size()))]);
    } else if (kind < 48) {
      tar_.Special(path, AE_IFIFO, 0, 0, Attributes(false));
    } else if (kind < 52) {
      if (kinds_.devices)
        tar_.Special(path, Chance(50) ? AE_IFCHR : AE_IFBLK, 1 + Below(4000), Below(1u << 20), Attributes(false));
    } else if (kind < 56) {
      if (!kinds_.whiteouts) return;
      const std::size_t slash = path.rfind('/');
      const std::string parent = slash == std::string::npos ? "" : path.substr(0, slash + 1);
      tar_.File(parent + (Chance(30)
                              ? ".wh..wh..opq"
                              : ".wh." + path.substr(slash == std::string::npos ? 0 : slash + 1).substr(0, 200)));
    } else if (kind < 62) {
      std::map<std::uint64_t, std::string> pieces;
      std::uint64_t at = 0;
      for (unsigned i = 0; i < Below(5); ++i) {
        at += Below(50'000);
        const std::string piece = Bytes(1 + Below(9'000));
        pieces[at] = piece;
        at += piece.size();
      }
      tar_.Sparse(path, at + Below(200'000), pieces, Attributes(true));
    } else {
      tar_.File(path, Bytes(Size()), Attributes(true));
      files_.push_back(path);
    }
  }

  std::mt19937 random_;
  Kinds kinds_;
  TarBuilder tar_;
  RandomLayer layer_;
  std::vector<std::string> directories_;
  std::vector<std::string> files_;
  std::set<std::string> used_;
};

}  // namespace burstlet::cache::test
