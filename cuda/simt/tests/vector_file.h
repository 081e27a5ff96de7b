// Reads the conformance vectors (cuda/vectors/README.md): a safetensors file whose metadata holds the calls.
#pragma once
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

struct Tensor {
  std::string dtype;  // of safetensors: "F32", "F64", "BF16", "I32", ...
  std::vector<unsigned char> bytes;
};

struct Argument {
  std::string name;
  std::string role;  // "in", "inout", "out", "same", "none"; empty for a scalar
  std::string text;  // a scalar as written, the dtype of a buffer, or the argument that "same" names
  int64_t count = 0;
  bool is_double() const { return text.find_first_of(".enf") != std::string::npos; }
};

struct Case {
  std::string name, op;
  std::vector<Argument> arguments;
  std::map<std::string, Tensor> in, out, bound;
};

namespace vector_file_detail {

// The header's JSON: objects, arrays of integers and strings, which is all that safetensors has.
class Json {
 public:
  explicit Json(const std::string& text) : text_(text) {}
  void expect(char c) {
    if (next() != c) throw std::runtime_error(std::string("vector file: expected ") + c);
    ++at_;
  }
  bool accept(char c) {
    if (next() != c) return false;
    ++at_;
    return true;
  }
  std::string string() {
    expect('"');
    std::string value;
    while (text_.at(at_) != '"') {
      if (text_[at_] == '\\') ++at_;
      value += text_.at(at_++);
    }
    ++at_;
    return value;
  }
  std::vector<int64_t> integers() {
    std::vector<int64_t> values;
    expect('[');
    if (accept(']')) return values;
    do {
      next();
      char* end = nullptr;
      values.push_back(std::strtoll(text_.c_str() + at_, &end, 10));
      at_ = size_t(end - text_.c_str());
    } while (accept(','));
    expect(']');
    return values;
  }

 private:
  char next() {
    while (text_.at(at_) == ' ' || text_[at_] == '\n') ++at_;
    return text_[at_];
  }
  const std::string& text_;
  size_t at_ = 0;
};

inline Argument parse_argument(const std::string& word) {
  const size_t equals = word.find('=');
  Argument argument;
  argument.name = word.substr(0, equals);
  argument.text = word.substr(equals + 1);
  if (argument.text.empty() || argument.text[0] != '@') return argument;
  std::istringstream parts(argument.text.substr(1));
  std::string count;
  argument.text.clear();
  std::getline(parts, argument.role, ':');
  std::getline(parts, argument.text, ':');
  if (std::getline(parts, count, ':')) argument.count = std::atoll(count.c_str());
  return argument;
}

}  // namespace vector_file_detail

inline std::vector<Case> read_vector_file(const std::string& path) {
  using namespace vector_file_detail;
  std::ifstream file(path, std::ios::binary);
  const std::string data((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (data.size() < 8) throw std::runtime_error(path + ": cannot be read");
  uint64_t header_bytes = 0;
  for (int i = 7; i >= 0; --i) header_bytes = header_bytes << 8 | static_cast<unsigned char>(data[size_t(i)]);
  const std::string header = data.substr(8, header_bytes);
  const size_t start = 8 + header_bytes;

  std::map<std::string, std::string> calls;
  std::map<std::string, Tensor> tensors;
  Json json(header);
  json.expect('{');
  do {
    const std::string name = json.string();
    json.expect(':');
    json.expect('{');
    Tensor tensor;
    if (!json.accept('}')) {
      do {
        const std::string key = json.string();
        json.expect(':');
        if (name == "__metadata__") {
          calls[key] = json.string();
        } else if (key == "dtype") {
          tensor.dtype = json.string();
        } else {
          const std::vector<int64_t> values = json.integers();
          if (key == "data_offsets") {
            const auto* const bytes = reinterpret_cast<const unsigned char*>(data.data()) + start;
            tensor.bytes.assign(bytes + values.at(0), bytes + values.at(1));
          }
        }
      } while (json.accept(','));
      json.expect('}');
    }
    if (name != "__metadata__") tensors[name] = tensor;
  } while (json.accept(','));
  if (calls["format"] != "cunn-vectors-1") throw std::runtime_error(path + ": not a vector file of format 1");

  std::vector<Case> cases;
  for (const auto& [name, line] : calls) {
    if (name == "format" || name.find('#') != std::string::npos) continue;
    Case c;
    c.name = name;
    std::istringstream words(line);
    words >> c.op;
    for (std::string word; words >> word;) c.arguments.push_back(parse_argument(word));
    cases.push_back(c);
  }
  for (Case& c : cases)
    for (const Argument& argument : c.arguments) {
      const auto take = [&](const char* part, std::map<std::string, Tensor>& to) {
        const auto it = tensors.find(c.name + "/" + part + "/" + argument.name);
        if (it != tensors.end()) to[argument.name] = it->second;
      };
      take("in", c.in);
      take("out", c.out);
      take("bound", c.bound);
    }
  return cases;
}
