// A directory tree as text, one line a name with everything that stat, attributes and content say: trees are compared
// so.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "cache/digest.h"
#include "test/cache/temp_dir.h"

namespace burstlet::cache::test {

inline std::string XattrText(const std::string& path) {
  std::vector<char> names(65536);
  const ssize_t size = llistxattr(path.c_str(), names.data(), names.size());
  std::map<std::string, std::string> found;
  for (ssize_t at = 0; at < size;
       at += static_cast<ssize_t>(std::string(&names[static_cast<std::size_t>(at)]).size()) + 1) {
    const std::string name = &names[static_cast<std::size_t>(at)];
    std::string value(65536, '\0');
    const ssize_t got = lgetxattr(path.c_str(), name.c_str(), value.data(), value.size());
    value.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
    found[name] = got < 0 ? "unreadable" : DigestOf(value).text() + "/" + std::to_string(got);
  }
  std::string out;
  for (const auto& [name, value] : found) out += " " + name + "=" + value;
  return out;
}

inline std::string DescribeFile(const std::string& path) {
  struct stat st = {};
  if (lstat(path.c_str(), &st) != 0) return "missing";
  char head[256];
  std::snprintf(head, sizeof(head), "%o %u:%u links=%lu", st.st_mode, st.st_uid, st.st_gid,
                S_ISDIR(st.st_mode) ? 0ul : static_cast<unsigned long>(st.st_nlink));
  std::string out = head;
  out += " t=" + std::to_string(st.st_mtim.tv_sec) + "." + std::to_string(st.st_mtim.tv_nsec);
  if (S_ISREG(st.st_mode)) out += " " + std::to_string(st.st_size) + " " + DigestOf(ReadFile(path)).text();
  if (S_ISLNK(st.st_mode)) out += " -> " + std::filesystem::read_symlink(path).string();
  if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode)) {
    out += " dev " + std::to_string(major(st.st_rdev)) + ":" + std::to_string(minor(st.st_rdev));
  }
  return out + XattrText(path);
}

/// Relative name ("." is the root) to description; hard links also name the first of their names.
inline std::map<std::string, std::string> ListTree(const std::string& root) {
  std::map<std::string, std::string> out;
  std::map<ino_t, std::string> first;
  out["."] = DescribeFile(root + "/.");
  std::vector<std::pair<std::string, ino_t>> names;
  for (const auto& item : std::filesystem::recursive_directory_iterator(root)) {
    const std::string path = item.path().string();
    const std::string name = path.substr(root.size() + 1);
    out[name] = DescribeFile(path);
    struct stat st = {};
    lstat(path.c_str(), &st);
    if (!S_ISDIR(st.st_mode) && st.st_nlink > 1) names.emplace_back(name, st.st_ino);
  }
  std::sort(names.begin(), names.end());
  for (const auto& [name, ino] : names) {
    out[name] += " same as " + first.emplace(ino, name).first->second;
  }
  return out;
}

/// The lines in which two listings differ, for a failed test's message.
inline std::string Difference(const std::map<std::string, std::string>& a,
                              const std::map<std::string, std::string>& b) {
  std::string out;
  const auto compare = [&](const auto& from, const auto& to, const char* mark) {
    for (const auto& [name, text] : from) {
      const auto it = to.find(name);
      if (it == to.end() || it->second != text) out += std::string(mark) + name.substr(0, 80) + ": " + text + "\n";
    }
  };
  compare(a, b, "- ");
  compare(b, a, "+ ");
  return out.substr(0, 4000);
}

}  // namespace burstlet::cache::test
