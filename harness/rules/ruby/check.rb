# The checker: it has no tenant's code. Each line comes in brackets, so that a line which closes more
# than it opens shows as an array of the wrong size.
def __kind(line)
  return "not-json" unless line.is_a?(Array) && line.size == 1
  line = line[0]
  return "not-json" unless line.is_a?(Array) && line.size == 1
  line[0].is_a?(Hash) ? "good" : "not-an-object"
end

# Between two lines stands a mark that no line can know.
def __all_good?(input, mark)
  at = -1
  input.all? { |item| (at += 1) % 2 == 1 ? item == mark : __kind(item) == "good" }
end

def __one(input)
  input.size == 1 ? __kind(input[0]) : "not-json"
end
